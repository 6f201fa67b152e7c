/**
 * Advice when a repository does not exist: many registries create one with the first push, those of
 * the clouds do not.
 */
export function missingRepositoryAdvice(host: string, repository: string): string {
  const [, region] = /\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\./.exec(host) ?? []
  if (region !== undefined)
    return `create the repository: aws ecr create-repository --region ${region} --repository-name ${repository}; or add a repository creation template for CREATE_ON_PUSH`
  const [, location] = /^([a-z0-9-]+)-docker\.pkg\.dev$/.exec(host) ?? []
  if (location !== undefined) {
    const [project = 'PROJECT', name = 'NAME'] = partsOf(repository)
    return `create the repository: gcloud artifacts repositories create ${name} --repository-format=docker --project=${project} --location=${location}`
  }
  return `check the name, or create the repository ${repository} at ${host}`
}

/** A domain-scoped project is `domain/project` in image names and `domain:project` elsewhere. */
function partsOf(repository: string): readonly string[] {
  const [first = '', second = '', ...rest] = repository.split('/')
  return first.includes('.') ? [`${first}:${second}`, ...rest] : [first, second]
}
