import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// Loaded into a process before its program: what is left in use is then what is held on to, and not
// what the collector has not come to yet.
setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')
if (typeof collect === 'function') setInterval(() => collect(), 1000).unref()
