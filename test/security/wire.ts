import { connect } from 'node:net'

/** What came back: nothing of it is tidied. */
export interface Answer {
  status: number
  headers: Headers
  body: string
}

/** Sends bytes exactly as they are said, on a connection of their own, and reads until the server ends it. */
export function exchange(origin: string, bytes: string): Promise<Answer> {
  const { hostname, port } = new URL(origin)
  return new Promise((done, fail) => {
    const chunks: Buffer[] = []
    const socket = connect(Number(port), hostname)
    socket.on('data', chunk => chunks.push(chunk)).on('error', fail)
    // A server that refuses a request may hang up before it has read the whole: what it said counts.
    socket.on('close', () => done(readAnswer(Buffer.concat(chunks).toString('latin1'))))
    socket.write(Buffer.from(bytes, 'latin1'))
  })
}

function readAnswer(text: string): Answer {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = new Headers()
  for (const line of lines)
    headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1))
  return { status: Number(first.split(' ')[1]), headers, body: body.join('\r\n\r\n') }
}
