import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from './program.js'
import { temporaryFolder } from './temporary-folder.js'

const workerd: string = createRequire(import.meta.url)('workerd').default

/** Export conditions of worker hosts. */
const workerConditions = ['workerd', 'worker', 'browser']

/** Bundles a module for a worker host. Node's own modules cannot be resolved. */
export async function bundle(source: string, conditions = workerConditions): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: root, loader: 'ts' },
    bundle: true,
    alias: { 'trpc-bearer/verifier': './server/verifier/index.ts' },
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    conditions,
    write: false,
    logLevel: 'silent',
  })
  return outputFiles.map(({ text }) => text).join('')
}

const config = `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2023-03-01",
      globalOutbound = "network"
    )),
    (name = "network", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
`

/** Starts a worker in workerd, Cloudflare's runtime. */
export async function startWorker(source: string) {
  const folder = await temporaryFolder()
  await writeFile(join(folder.path, 'worker.js'), await bundle(source))
  await writeFile(join(folder.path, 'config.capnp'), config)
  const args = ['serve', 'config.capnp', '--control-fd=1']
  const child = spawn(workerd, args, { cwd: folder.path, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  const port = await new Promise<number>((done, fail) => {
    child.stdout.setEncoding('utf8').on('data', line => {
      const [, port] = /"event":"listen".*"port":(\d+)/.exec(line) ?? []
      if (port !== undefined) done(Number(port))
    })
    ended.then(() => fail(new Error('workerd ended.')), fail)
  })
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      child.kill()
      await ended
      await folder[Symbol.asyncDispose]()
    },
  }
}
