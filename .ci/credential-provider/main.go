// The kubelet's part in the protocol of credential providers, with the types and codecs that the
// kubelet itself uses, both strict: reads its configuration, asks the providers whose matchImages
// match, and prints what they answered. Fails where the kubelet would pull without a credential.
//
//	credential-provider --config FILE --bin-dir DIRECTORY --image IMAGE \
//	  [--token-file FILE] [--annotation KEY=VALUE]...
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubelet "k8s.io/kubelet/config/v1"
	"k8s.io/kubelet/pkg/apis/credentialprovider"
	"k8s.io/kubelet/pkg/apis/credentialprovider/install"
	credentialproviderv1 "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme, serializer.EnableStrict)
)

type question struct {
	image       string
	token       string
	annotations map[string]string
}

type annotationsFlag map[string]string

func (annotations annotationsFlag) String() string { return "" }

func (annotations annotationsFlag) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return errors.New("expected KEY=VALUE")
	}
	annotations[key] = value
	return nil
}

func main() {
	install.Install(scheme)
	if err := kubelet.AddToScheme(scheme); err != nil {
		fail(err)
	}
	config := flag.String("config", "", "a CredentialProviderConfig")
	directory := flag.String("bin-dir", "", "where providers are")
	image := flag.String("image", "", "name without tag, as a kubelet writes it")
	tokenFile := flag.String("token-file", "", "a service account token")
	annotations := annotationsFlag{}
	flag.Var(annotations, "annotation", "of the service account")
	flag.Parse()

	asked := question{image: *image, annotations: annotations}
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		if err != nil {
			fail(err)
		}
		asked.token = strings.TrimSpace(string(token))
	}
	responses, err := askAll(*config, *directory, asked)
	if err != nil {
		fail(err)
	}
	text, err := json.Marshal(responses)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func askAll(file, directory string, asked question) ([]*credentialproviderv1.CredentialProviderResponse, error) {
	config, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	responses := []*credentialproviderv1.CredentialProviderResponse{}
	for _, provider := range config.Providers {
		if !matchesAny(provider.MatchImages, asked.image) {
			continue
		}
		response, err := ask(provider, directory, asked)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", provider.Name, err)
		}
		responses = append(responses, response)
	}
	return responses, nil
}

func readConfig(file string) (*kubelet.CredentialProviderConfig, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	object, _, err := codecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	config, ok := object.(*kubelet.CredentialProviderConfig)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T", file, object)
	}
	if len(config.Providers) == 0 {
		return nil, fmt.Errorf("%s has no providers", file)
	}
	for _, provider := range config.Providers {
		if err := validate(provider); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, provider.Name, err)
		}
	}
	return config, nil
}

// What a kubelet does not start without.
func validate(provider kubelet.CredentialProvider) error {
	if provider.Name == "" || strings.ContainsAny(provider.Name, "/ ") {
		return errors.New("name: neither empty nor with / or space")
	}
	if len(provider.MatchImages) == 0 {
		return errors.New("matchImages: required")
	}
	for _, pattern := range provider.MatchImages {
		if _, err := url.Parse("https://" + pattern); err != nil {
			return fmt.Errorf("matchImages: %w", err)
		}
	}
	if provider.DefaultCacheDuration == nil || provider.DefaultCacheDuration.Duration < 0 {
		return errors.New("defaultCacheDuration: required")
	}
	attributes := provider.TokenAttributes
	if attributes == nil {
		return nil
	}
	isV1 := provider.APIVersion == credentialproviderv1.SchemeGroupVersion.String()
	isKnown := attributes.CacheType == kubelet.ServiceAccountServiceAccountTokenCacheType ||
		attributes.CacheType == kubelet.TokenServiceAccountTokenCacheType
	if !isV1 || !isKnown || attributes.ServiceAccountTokenAudience == "" || attributes.RequireServiceAccount == nil {
		return errors.New("tokenAttributes: v1, with audience, cacheType and requireServiceAccount")
	}
	return nil
}

func ask(provider kubelet.CredentialProvider, directory string, asked question) (*credentialproviderv1.CredentialProviderResponse, error) {
	version, err := schema.ParseGroupVersion(provider.APIVersion)
	if err != nil {
		return nil, err
	}
	request := &credentialprovider.CredentialProviderRequest{Image: asked.image}
	if provider.TokenAttributes != nil {
		request.ServiceAccountToken = asked.token
		request.ServiceAccountAnnotations = asked.annotations
	}
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	input, err := runtime.Encode(codecs.EncoderForVersion(info.Serializer, version), request)
	if err != nil {
		return nil, err
	}
	output, err := execute(provider, directory, input)
	if err != nil {
		return nil, err
	}
	return decode(output, version)
}

func execute(provider kubelet.CredentialProvider, directory string, input []byte) ([]byte, error) {
	limit, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := exec.CommandContext(limit, filepath.Join(directory, provider.Name), provider.Args...)
	command.Env = os.Environ()
	for _, variable := range provider.Env {
		command.Env = append(command.Env, variable.Name+"="+variable.Value)
	}
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.Bytes(), nil
}

func decode(output []byte, version schema.GroupVersion) (*credentialproviderv1.CredentialProviderResponse, error) {
	object, kind, err := codecs.UniversalDecoder().Decode(output, nil, nil)
	if err != nil {
		return nil, err
	}
	if kind.GroupVersion() != version {
		return nil, fmt.Errorf("asked in %s, answered in %s", version, kind.GroupVersion())
	}
	internal, ok := object.(*credentialprovider.CredentialProviderResponse)
	if !ok {
		return nil, fmt.Errorf("answered with a %T", object)
	}
	response := &credentialproviderv1.CredentialProviderResponse{}
	if err := scheme.Convert(internal, response, nil); err != nil {
		return nil, err
	}
	return response, nil
}

func matchesAny(patterns []string, image string) bool {
	for _, pattern := range patterns {
		if matches(pattern, image) {
			return true
		}
	}
	return false
}

// As the API describes it: as many parts of the domain, each of which matches; the same port; the
// pattern's path in front of the image's.
func matches(pattern, image string) bool {
	wanted, err := url.Parse("https://" + pattern)
	if err != nil {
		return false
	}
	given, err := url.Parse("https://" + image)
	if err != nil || wanted.Port() != given.Port() || !strings.HasPrefix(given.Path, wanted.Path) {
		return false
	}
	if net.ParseIP(wanted.Hostname()) != nil {
		return wanted.Hostname() == given.Hostname()
	}
	globs, parts := strings.Split(wanted.Hostname(), "."), strings.Split(given.Hostname(), ".")
	if len(globs) != len(parts) {
		return false
	}
	for at, glob := range globs {
		if matched, err := filepath.Match(glob, parts[at]); err != nil || !matched {
			return false
		}
	}
	return true
}
