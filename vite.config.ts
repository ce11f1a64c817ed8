import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

// A build inside of a test has another value, which would put React's checks for developers into the page.
process.env.NODE_ENV = 'production'

const limit = 150_000

/** Compresses the files once, for the server to send, and prints the size of the JavaScript. */
const compress = (): Plugin => ({
  name: 'compress',
  writeBundle({ dir = '' }) {
    let bytes = 0
    for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(js|css|html|svg)$/.test(name)) continue
      const file = join(dir, name)
      const content = readFileSync(file)
      const zipped = gzipSync(content, { level: 9 })
      writeFileSync(`${file}.gz`, zipped)
      writeFileSync(`${file}.br`, brotliCompressSync(content))
      if (name.endsWith('.js')) bytes += zipped.length
    }
    console.log(`JavaScript of the page: ${(bytes / 1_000).toFixed(1)} kB with gzip`)
    if (bytes > limit) throw new Error(`The page may have ${limit / 1_000} kB of JavaScript.`)
  },
})

/** Builds the page at `/` of `npm start`. */
export default defineConfig({
  root: 'client/web',
  base: '/',
  build: {
    outDir: '../../dist/client/web',
    emptyOutDir: true,
    target: 'es2023',
    // A data: URL would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      // "use client" means nothing in a page without a server.
      onLog: (level, log, report) => log.code === 'MODULE_LEVEL_DIRECTIVE' || report(level, log),
    },
  },
  logLevel: 'warn',
  plugins: [compress()],
})
