'use client'
import { createBearerReact } from 'trpc-bearer/react'

export const { BearerProvider, useTRPC } = createBearerReact()
