'use client'
import type { ReactNode } from 'react'
import { betterAuthToken } from 'trpc-bearer/client'
import { BearerProvider } from '@/lib/api'
import { authClient } from '@/lib/auth-client'

const getToken = betterAuthToken(authClient)

export function Providers({ apiUrl, children }: { apiUrl: string; children: ReactNode }) {
  return (
    <BearerProvider url={`${apiUrl}/trpc`} getToken={getToken} isServerRendered>
      {children}
    </BearerProvider>
  )
}
