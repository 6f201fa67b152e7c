import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { stringify } from 'yaml'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { find, lint, render, threeValues } from '../support/chart.ts'

const subjects = [
  { kind: 'Group', name: 'developers', apiGroup: 'rbac.authorization.k8s.io' },
  { kind: 'ServiceAccount', name: 'ci', namespace: 'builds' },
]
const rightsOf = async (developers: object) => {
  const manifests = await render({ ...threeValues, developers: { enabled: true, ...developers } })
  return manifests.filter(({ metadata }) => metadata.name.endsWith('-developer'))
}

suite('the role of developers', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer()
    await api.kubectl(['create', 'namespace', 'images'])
  })
  after(() => api?.stop())

  const may = async (group: string, verb: string, what: string, namespace = 'images') => {
    const [resource = '', subresource = ''] = what.split('/')
    const as = ['--as=someone', `--as-group=${group}`, `--namespace=${namespace}`]
    const question = [verb, resource, `--subresource=${subresource}`, ...as]
    const answer = await api.kubectl(['auth', 'can-i', ...question]).catch(String)
    return /^yes$/m.test(answer)
  }

  test('is not there unless it is wanted, and without subjects nobody has it', async () => {
    const manifests = await render(threeValues)
    assert.ok(!manifests.some(({ metadata }) => metadata.name.endsWith('-developer')))
    assert.deepEqual(
      (await rightsOf({})).map(({ kind }) => kind),
      ['Role'],
    )
  })

  for (const access of ['exec', 'portforward']) {
    test(`by ${access}: subjects may connect in this namespace, and nothing else`, async () => {
      const manifests = await rightsOf({ access, subjects })
      assert.deepEqual(find(manifests, 'RoleBinding').subjects, subjects)
      await api.kubectl(['apply', '-f', '-'], manifests.map((one) => stringify(one)).join('---\n'))
      const other = access === 'exec' ? 'portforward' : 'exec'
      for (const verb of ['get', 'create']) {
        assert.ok(await may('developers', verb, `pods/${access}`), verb)
        assert.ok(!(await may('developers', verb, `pods/${other}`)), verb)
        assert.ok(!(await may('others', verb, `pods/${access}`)), verb)
        assert.ok(!(await may('developers', verb, `pods/${access}`, 'default')), verb)
      }
      assert.ok(await may('developers', 'list', 'pods'))
      assert.ok(await may('developers', 'list', 'services'))
      for (const [verb = '', what = ''] of [
        ['get', 'secrets'],
        ['delete', 'pods'],
        ['get', 'pods/log'],
      ])
        assert.ok(!(await may('developers', verb, what)), `${verb} ${what}`)
    })
  }

  test('is refused with another way, or a subject without a name', async () => {
    for (const developers of [{ access: 'attach' }, { subjects: [{ kind: 'Group' }] }]) {
      const { status } = await lint({
        ...threeValues,
        developers: { enabled: true, ...developers },
      })
      assert.notEqual(status, 0)
    }
  })
})
