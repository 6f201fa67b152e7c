import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { upstreamsFor } from '../../src/kind/upstreams.ts'

const files = { google: '/adc.json', aws: '/aws', docker: '/config.json' }
const noFiles = { google: undefined, aws: undefined, docker: undefined }
const none = { inFile: [], inHelper: [] }
const ecr = '123456789012.dkr.ecr.eu-central-1.amazonaws.com'

const types = (...args: Parameters<typeof upstreamsFor>) =>
  upstreamsFor(...args).upstreams.map(({ credentials }) => credentials.type)

suite('upstreams of a local cluster', () => {
  test('are pulled from with the credentials that the developer has for them', () => {
    const hosts = ['europe-west1-docker.pkg.dev', 'gcr.io', 'eu.gcr.io', ecr, 'quay.io']
    const google = ['google', 'google', 'google']
    assert.deepEqual(types(hosts, files, none), [...google, 'aws', 'anonymous'])
    assert.deepEqual(types(hosts, noFiles, none), Array(5).fill('anonymous'))
    assert.deepEqual(types(['notgcr.io.example'], files, none), ['anonymous'])
  })

  test('are pulled from with the login of docker if its file has one', () => {
    const logins = { inFile: ['docker.io', 'me.azurecr.io', 'gcr.io'], inHelper: [] }
    const hosts = ['docker.io', 'me.azurecr.io', 'gcr.io']
    assert.deepEqual(types(hosts, files, logins), Array(3).fill('docker-config'))
  })

  test('say that a login in a credential helper cannot be used', () => {
    const { notes } = upstreamsFor(['docker.io'], files, { inFile: [], inHelper: ['docker.io'] })
    assert.match(notes.join(), /credential helper, which a container cannot run/)
  })

  test('have the address of Docker Hub', () => {
    const [hub] = upstreamsFor(['docker.io'], noFiles, none).upstreams
    assert.equal(hub?.url, 'https://registry-1.docker.io')
  })
})
