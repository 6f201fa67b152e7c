import { run } from '../../src/cli/cli.ts'

// The start of an executable. kubectl and docker choose the program by the name that the file or link has.
const [node = '', , ...args] = process.argv
await run([node, process.argv0.replace(/\.exe$/i, ''), ...args], process.env)
