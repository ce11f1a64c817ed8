import { parseArgs } from 'node:util'
import { keyCases } from './key-cases.js'
import { outageCases } from './outage-cases.js'
import { subjectsNamed } from './subjects.js'
import { tokenCases } from './token-cases.js'
import { Trial } from './trial.js'

/** Prints a table of what each verifier does in each case. Arguments select verifiers by name. */
const subjects = subjectsNamed(parseArgs({ allowPositionals: true }).positionals)
const row = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`)

row(['case', ...subjects.map(({ name }) => name)])
row(['---', ...subjects.map(() => '---')])
for (const one of [...outageCases, ...keyCases, ...tokenCases]) {
  const outcomes: string[] = []
  for (const subject of subjects) outcomes.push(await Trial.run(subject, one))
  row([one.title, ...outcomes])
}
// An endless body may still be open.
process.exit()
