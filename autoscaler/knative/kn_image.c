#include "autoscaler/knative/kn_image.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_names.h"

#define DIGEST "@sha256:"
#define DIGEST_LEN (sizeof DIGEST - 1 + 64)

static const char *
find_digest(const char *image)
{
	const char *at = strstr(image, DIGEST);
	size_t hex_n;

	if (at == NULL)
		return NULL;
	hex_n = strspn(at + sizeof DIGEST - 1, "0123456789abcdef");
	return hex_n == 64 && at[DIGEST_LEN] == '\0' ? at : NULL;
}

bool
kn_image_has_digest(const char *image)
{
	return find_digest(image) != NULL;
}

/* The length of the reference without tag and digest. */
static size_t
repository_length(const char *image)
{
	size_t n = strcspn(image, "@"), i;

	for (i = n; i > 0 && image[i - 1] != '/'; i--)
		if (image[i - 1] == ':')
			return i - 1;
	return n;
}

/* The length of the registry's name and port; 0: the reference names none, which is Docker Hub. */
static size_t
registry_length(const char *image)
{
	size_t n = strcspn(image, "/");

	if (image[n] != '/' || (memchr(image, '.', n) == NULL && memchr(image, ':', n) == NULL &&
				!(n == 9 && memcmp(image, "localhost", n) == 0)))
		return 0;
	return n;
}

/* Registry and repository in one spelling; the caller's. */
static char *
full_repository(const char *image)
{
	size_t registry_n = registry_length(image), n = repository_length(image);
	const char *rest = registry_n == 0 ? image : image + registry_n + 1;
	size_t rest_n = n - (size_t)(rest - image);
	bool is_hub = registry_n == 0 || (registry_n == 9 && memcmp(image, "docker.io", 9) == 0) ||
		      (registry_n == 15 && memcmp(image, "index.docker.io", 15) == 0);

	if (!is_hub)
		return xstrndup(image, n);
	return xasprintf("docker.io/%s%.*s", memchr(rest, '/', rest_n) == NULL ? "library/" : "",
			 (int)rest_n, rest);
}

static bool
is_skipped(const char *image, const char *skipped)
{
	size_t n = registry_length(image);
	char *registry = n == 0 ? xstrdup("index.docker.io") : xstrndup(image, n);
	bool is_listed = kn_names_has(skipped, registry);

	free(registry);
	return is_listed;
}

char *
kn_image_pin(const char *image, const char *image_id, const char *skipped)
{
	const char *scheme = strstr(image_id, "://"), *digest;
	char *wanted, *found, *pinned = NULL;

	if (scheme != NULL)
		image_id = scheme + 3;
	digest = find_digest(image_id);
	if (digest == NULL || is_skipped(image, skipped))
		return NULL;
	wanted = full_repository(image);
	found = full_repository(image_id);
	if (strcmp(wanted, found) == 0)
		pinned = xasprintf("%.*s%s", (int)repository_length(image), image, digest);
	free(found);
	free(wanted);
	return pinned;
}
