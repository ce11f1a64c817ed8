import { type BearerProviderProps, createBearerReact, createQueryClient } from 'trpc-bearer/react'

export { createBearerReact, createQueryClient }
export const { BearerProvider, useTRPC, useTRPCClient } = createBearerReact()
export const queryClient = createQueryClient()
export const props: BearerProviderProps = { url: 'http://localhost/trpc', getToken: () => null }
