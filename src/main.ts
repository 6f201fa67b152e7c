#!/usr/bin/env node
import { isNewEnough, runByOwnNode } from './own-node.ts'

// Nothing else is imported before the version is known: an old Node would end in a SyntaxError.
if (isNewEnough(process.versions.node)) {
  const { enableCompileCache } = await import('node:module')
  // What is compiled is kept below /tmp, by a name that anybody there could take first, and run as it
  // stands: that is not for a program that a kubelet starts as root, and saves a short command nothing.
  if (process.argv[2] === 'serve') enableCompileCache()
  const { run } = await import('./cli/cli.ts')
  await run(process.argv, process.env)
} else {
  runByOwnNode()
}
