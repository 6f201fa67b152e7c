import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// Loaded into a process before its program: memory in use is then memory with references, and not
// memory that is not collected yet.
setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')
if (typeof collect === 'function') setInterval(() => collect(), 1000).unref()
