import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { chromium } from 'playwright-core'
import { listen } from './listen.js'
import { root } from './program.js'

/** Chromium of the system, as Debian's package installs it. */
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Undefined if there is a browser. */
export const browserProblem = existsSync(executablePath)
  ? undefined
  : `There is no browser at ${executablePath}. Run apt-get install chromium, or set CHROMIUM to its path.`

/** A browser without windows. Its contexts have their own cookies; pages of one context are tabs. */
export async function startBrowser() {
  if (browserProblem !== undefined) throw new Error(browserProblem)
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  return { browser, [Symbol.asyncDispose]: () => browser.close() }
}

/** Bundles for the browser what imports the package by its name. */
export async function bundle(options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({
    bundle: true,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    alias: {
      'trpc-bearer/client': join(root, 'client/index.ts'),
      'trpc-bearer/react': join(root, 'client/react/index.ts'),
    },
    define: { 'process.env.NODE_ENV': '"production"' },
    ...options,
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}

/**
 * Serves a page that runs a script, bundled for the browser, on a port of 127.0.0.1.
 *
 * @param script TypeScript; it imports the package by its name
 */
export async function servePage(script: string, port: number) {
  const text = await bundle({ stdin: { contents: script, resolveDir: root, loader: 'ts' } })
  const server = createServer((req, res) => {
    const isScript = req.url === '/page.js'
    res.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    res.end(isScript ? text : '<!doctype html><script type="module" src="/page.js"></script>')
  })
  return listen(server, port)
}
