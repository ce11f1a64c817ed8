// Declares the exports of the files of the command line with TypeScript 5. Prints what is wrong.
import ts from 'ts5'

const common = {
  strict: true,
  target: ts.ScriptTarget.ES2023,
  types: ['node'],
  declaration: true,
  outDir: 'out',
}
const resolutions = [
  { module: ts.ModuleKind.NodeNext },
  { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
]
for (const resolution of resolutions) {
  for (const skipLibCheck of [true, false]) {
    const options = { ...common, ...resolution, skipLibCheck }
    const host = ts.createCompilerHost(options)
    const read = host.getSourceFile
    const files = new Map()
    // Parsed once for all programs.
    host.getSourceFile = (name, ...rest) => {
      if (!files.has(name)) files.set(name, read.call(host, name, ...rest))
      return files.get(name)
    }
    const given = process.argv.slice(2)
    // Once each alone, because another file could import what one lacks.
    const isAlone = skipLibCheck && resolution === resolutions[0]
    for (const names of isAlone ? given.map(file => [file]) : [given]) {
      const program = ts.createProgram(names, options, host)
      const { diagnostics } = program.emit()
      const found = [...ts.getPreEmitDiagnostics(program), ...diagnostics]
      if (found.length > 0) console.log(ts.formatDiagnostics(found, host))
    }
  }
}
