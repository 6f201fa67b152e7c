import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingRepositoryAdvice } from '../../src/remote/missing-repository.ts'

test('a repository that a cloud does not create by itself is created by a command', () => {
  const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
  assert.match(
    missingRepositoryAdvice(ecr, 'team/app'),
    /^create the repository: aws ecr create-repository --region eu-west-1 --repository-name team\/app;/,
  )
  assert.match(
    missingRepositoryAdvice('us-docker.pkg.dev', 'project/images/team/app'),
    /artifacts repositories create images .* --project=project --location=us$/,
  )
  assert.match(
    missingRepositoryAdvice('us-docker.pkg.dev', 'example.com/project/images/app'),
    /create images .* --project=example\.com:project /,
  )
  assert.match(missingRepositoryAdvice('registry.example', 'a/b'), /create the repository a\/b at/)
})
