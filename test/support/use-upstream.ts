import { after, beforeEach } from 'node:test'
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts'

/** An upstream for all tests of a file, which answers correctly at the start of each. */
export async function useUpstream(
  address: { readonly host?: string; readonly port?: number } = {},
): Promise<ScriptedUpstream> {
  const upstream = await startScriptedUpstream(address)
  beforeEach(upstream.behave)
  after(upstream.close)
  return upstream
}
