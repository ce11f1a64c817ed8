import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { listen } from './listen.js'
import { temporaryFolder } from './temporary-folder.js'

const sslRequestCode = 80_877_103
const cancelRequestCode = 80_877_102

/** A PostgreSQL that accepts only TLS: it decrypts for another one. `cancels` counts the cancel requests by whether they were encrypted. */
export async function startTlsPostgres(databaseUrl: string) {
  const folder = await temporaryFolder()
  const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert]
  execFileSync('openssl', [...args, ...subject], { stdio: 'ignore' })
  const pair = { key: readFileSync(key), cert: readFileSync(cert) }
  const target = new URL(databaseUrl)
  const cancels = { encrypted: 0, plain: 0 }
  const isCode = (bytes: Buffer, code: number) => bytes.length >= 8 && bytes.readInt32BE(4) === code
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', first => {
      if (isCode(first, cancelRequestCode)) cancels.plain++
      if (!isCode(first, sslRequestCode)) return void socket.destroy()
      socket.write('S')
      const secured = new TLSSocket(socket, { isServer: true, ...pair })
      const onward = connect(Number(target.port), target.hostname)
      secured.once('data', bytes => {
        if (isCode(bytes, cancelRequestCode)) cancels.encrypted++
      })
      for (const end of [secured, onward]) end.on('error', () => onward.destroy())
      secured.pipe(onward).pipe(secured)
    })
  })
  const host = await listen(server)
  const url = new URL(databaseUrl)
  url.host = `localhost:${host.port}`
  return {
    url: url.href,
    ca: pair.cert,
    cancels,
    async [Symbol.asyncDispose]() {
      await host.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}
