import { run } from '../../src/cli/cli.ts'
import { ensureHome } from '../../src/home.ts'

// The start of an executable. kubectl and docker choose the program by the name that the file or link has.
ensureHome(process.env)
const [node = '', , ...args] = process.argv
await run([node, process.argv0.replace(/\.exe$/i, ''), ...args], process.env)
