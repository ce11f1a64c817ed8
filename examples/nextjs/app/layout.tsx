import type { ReactNode } from 'react'
import { Providers } from './providers'

export const metadata = { title: 'Tasks' }

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <Providers apiUrl={process.env.API_URL ?? 'http://localhost:4000'}>{children}</Providers>
      </body>
    </html>
  )
}
