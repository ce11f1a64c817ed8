import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { build } from 'esbuild'
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

/**
 * Serves a page that runs a script, bundled for the browser, on a port of 127.0.0.1.
 *
 * @param script TypeScript; it imports the package by its name
 */
export async function servePage(script: string, port: number) {
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    alias: { 'trpc-bearer/client': './client/index.ts', 'trpc-bearer/react': './client/react/index.ts' },
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  const [bundle] = outputFiles
  const server = createServer((req, res) => {
    const isScript = req.url === '/page.js'
    res.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    res.end(isScript ? bundle?.text : '<!doctype html><script type="module" src="/page.js"></script>')
  })
  return listen(server, port)
}
