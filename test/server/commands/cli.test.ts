import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root, startProgram } from '../../parts/program.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

/** Runs `trpc-bearer` as the package installs it, in an empty folder. */
async function trpcBearer(...args: string[]) {
  const { bin } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  await using folder = await temporaryFolder()
  await using program = startProgram(process.execPath, [join(root, bin), ...args], { cwd: folder.path })
  return await program.ended
}

test('without a command it lists the commands', async () => {
  const { code, stdout, stderr } = await trpcBearer()
  expect([code, stderr]).toEqual([0, ''])
  for (const name of ['start', 'migrate', 'fence'])
    expect(stdout).toMatch(new RegExp(`^ {2}${name} +\\w`, 'm'))
  expect(await trpcBearer('--help')).toEqual({ code, stdout, stderr })
  expect(await trpcBearer('-h')).toEqual({ code, stdout, stderr })
})

test.each(['start', 'migrate', 'fence'])('%s --help explains the command and its variables', async name => {
  const { code, stdout, stderr } = await trpcBearer(name, '--help')
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(new RegExp(`^trpc-bearer ${name}: \\w`))
  const variables = [...stdout.matchAll(/^ {2}([A-Z_]+)/gm)].map(([, variable]) => variable)
  expect(variables).toContain('DATABASE_URL')
  const page = await readFile(join(root, 'docs/configuration.md'), 'utf8')
  expect(variables.filter(variable => !page.includes(`| \`${variable}\``))).toEqual([])
})

test('--version is the version of the package', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  expect(await trpcBearer('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})

test.each([
  ['an unknown command', ['strat'], /^There is no command strat\.\n\ntrpc-bearer <command>/],
  ['a name that every object has', ['constructor'], /^There is no command constructor\./],
  ['an unknown option', ['start', '--port'], /^The only options are --help and --version\.\n\ntrpc-bearer/],
  ['a URL as an option', ['--postgres://app:SECRET@db/x'], /^(?!.*SECRET)The only options are/s],
  ['an argument too many', ['migrate', 'now'], /^migrate takes no arguments: now\n$/],
  ['a URL', ['migrate', 'postgres://app:SECRET@db/x'], /^migrate takes no arguments: \(not shown\)\n$/],
  ['a URL as a command', ['postgres://app:SECRET@db/x'], /^There is no command \(not shown\)\.\n/],
])('%s is refused with what to do', async (_, args, message) => {
  expect(await trpcBearer(...args)).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(message) })
})
