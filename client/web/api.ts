import type { PageRouter } from '../../server/app/page-router.js'
import { createBearerReact } from '../react/index.js'

export const { BearerProvider, useTRPC, useTRPCClient } = createBearerReact<PageRouter>()
