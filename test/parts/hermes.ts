import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'

/** What Hermes with React Native lacks, although Node's engine has it. */
const missing = [
  'delete Array.fromAsync',
  'delete Promise.withResolvers',
  'delete Promise.try',
  'delete Object.groupBy',
  'delete Map.groupBy',
  'delete Symbol.asyncDispose',
  'delete Symbol.dispose',
  'delete globalThis.Iterator',
  'delete globalThis.WebAssembly',
  'delete globalThis.SharedArrayBuffer',
  'delete globalThis.Atomics',
]

/** The parts of a phone that the modules of Expo talk to. */
const phone: Record<string, string> = {
  'react-native': `export const Platform = { OS: 'android' }
    export const AppState = { addEventListener: () => ({ remove() {} }) }`,
  'expo-constants': 'export default {}',
  'expo-linking': "export const createURL = (path, { scheme }) => scheme + '://' + path",
  'expo-network': 'export const addNetworkStateListener = () => ({ remove() {} })',
  'expo-web-browser': 'export {}',
  'expo-secure-store': `const items = new Map()
    export const getItem = key => items.get(key) ?? null
    export const setItem = (key, value) => void items.set(key, value)
    export const getItemAsync = async key => getItem(key)
    export const setItemAsync = async (key, value) => setItem(key, value)`,
}

/**
 * Runs a module with the globals of Hermes and React Native only: no `atob`, no `URL.canParse`, no `AbortSignal.any`, no streams; and a
 * `fetch` that follows redirects whatever it is told, and sends no `Origin`.
 *
 * @param source TypeScript, which assigns what the test uses to `globalThis`
 * @param folder with the packages that it imports
 */
export async function runOnPhone(source: string, folder: string): Promise<Record<string, unknown>> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: folder, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    define: { 'process.env.NODE_ENV': '"production"' },
    plugins: [
      {
        name: 'phone',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^(react-native|expo-[\w-]+)$/ }, ({ path }) => ({ path, namespace: 'phone' }))
          onLoad({ filter: /.*/, namespace: 'phone' }, ({ path }) => ({ contents: phone[path] ?? '' }))
        },
      },
    ],
  })
  const globals: Record<string, unknown> = {
    ...{ setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, console, performance },
    ...{ Headers, URLSearchParams, FormData, Blob, AbortController, TextEncoder },
    URL: class extends URL {
      static override canParse = undefined as never
      static override parse = undefined as never
    },
    Request,
    Response,
    async fetch(input: string, init: RequestInit) {
      const response = await fetch(input, { ...init, redirect: 'follow' })
      // The objects that it makes are of the phone's own classes.
      const json = async () => runInContext('JSON', globals as object).parse(await response.text())
      return Object.defineProperties(response, {
        body: { value: undefined },
        json: { value: json, configurable: true },
      })
    },
    navigator: { product: 'ReactNative' },
  }
  globals.window = globals.globalThis = globals.global = globals.self = createContext(globals)
  runInContext(missing.join('\n'), globals as object)
  runInContext(outputFiles[0]?.text ?? '', globals as object, { filename: 'phone.js' })
  return globals
}
