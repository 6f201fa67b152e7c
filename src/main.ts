#!/usr/bin/env node
import { isSupported, runWithBundledNode } from './own-node.ts'

// Check the version before importing anything else: an old Node would fail with a SyntaxError.
if (isSupported(process.versions.node)) {
  const { enableCompileCache } = await import('node:module')
  // Only for the server: the compile cache is below /tmp, where another user could create it first, and a
  // kubelet runs the credential provider as root. Short commands would save no time.
  if (process.argv[2] === 'serve') enableCompileCache()
  const { run } = await import('./cli/cli.ts')
  await run(process.argv, process.env)
} else {
  runWithBundledNode()
}
