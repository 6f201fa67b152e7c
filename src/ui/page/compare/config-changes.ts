import type { Comparison, Manifest } from '../../../api/answers.ts'

export type ConfigChange = Comparison['config'][number]

/**
 * As the API compares configs, from what manifests say of them: it cannot where layers are not on the disk, and
 * its answer takes as long as reading them.
 */
export function configChanges(before: Manifest, after: Manifest): readonly ConfigChange[] {
  const [left, right] = [fieldsOf(before), fieldsOf(after)]
  const fields = [...new Set([...left.keys(), ...right.keys()])].sort()
  return fields
    .filter((field) => left.get(field) !== right.get(field))
    .map((field) => ({ field, before: left.get(field), after: right.get(field) }))
}

function fieldsOf({ config }: Manifest): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  if (config === undefined) return fields
  const set = (field: string, value: unknown) => {
    const isEmpty = value === undefined || value === '' || (Array.isArray(value) && !value.length)
    if (!isEmpty) fields.set(field, JSON.stringify(value))
  }
  set('author', config.author)
  set('platform', config.platform)
  set('config.User', config.user)
  set('config.WorkingDir', config.workingDir)
  set('config.StopSignal', config.stopSignal)
  set('config.Entrypoint', config.entrypoint)
  set('config.Cmd', config.cmd)
  for (const port of config.exposedPorts) set(`config.ExposedPorts.${port}`, {})
  for (const volume of config.volumes) set(`config.Volumes.${volume}`, {})
  for (const variable of config.env) {
    const [name = '', ...value] = variable.split('=')
    fields.set(`config.Env.${name}`, JSON.stringify(value.join('=')))
  }
  for (const [name, value] of Object.entries(config.labels))
    fields.set(`config.Labels.${name}`, JSON.stringify(value))
  return fields
}
