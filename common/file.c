#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/strbuf.h"

#define STEP ((size_t)16 << 10)

/* The path of the file itself, the caller's to free; NULL with err. */
static char *
resolve(const char *path, struct err *e)
{
	const char *name = path + sizeof FILE_CREDENTIAL - 1, *folder;

	if (strncmp(path, FILE_CREDENTIAL, sizeof FILE_CREDENTIAL - 1) != 0)
		return xstrdup(path);
	folder = getenv("CREDENTIALS_DIRECTORY");
	if (folder == NULL || folder[0] == '\0') {
		err_set(e, ENOENT,
			"cannot read %s: CREDENTIALS_DIRECTORY is not set; systemd sets it for a "
			"unit with LoadCredential=%s:FILE",
			path, name);
		return NULL;
	}
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
		err_set(e, EINVAL, "cannot read %s: expected the name of a credential", path);
		return NULL;
	}
	return xasprintf("%s/%s", folder, name);
}

int
file_stat(const char *path, struct stat *st)
{
	struct err e = {0};
	char *real = resolve(path, &e);
	int rc, code;

	if (real == NULL) {
		errno = e.code;
		return -1;
	}
	rc = stat(real, st);
	code = errno;
	free(real);
	errno = code;
	return rc;
}

/* Until the end of the file, or until b holds more than max bytes. */
static int
read_all(int fd, size_t max, struct strbuf *b)
{
	while (b->len <= max) {
		size_t step = MIN(STEP, max + 1 - b->len);
		ssize_t n = read(fd, strbuf_reserve(b, step), step);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		b->len += (size_t)n;
	}
	return 0;
}

char *
file_read(const char *path, size_t max, size_t *n, struct err *e)
{
	char *real = resolve(path, e);
	struct strbuf b;
	int fd;

	if (real == NULL)
		return NULL;
	fd = open(real, O_RDONLY | O_CLOEXEC);
	free(real);
	strbuf_init(&b, 0);
	if (fd < 0 || read_all(fd, max, &b) < 0)
		err_errno(e, "cannot read %s", path);
	else if (b.len > max)
		err_set(e, EFBIG, "cannot read %s: expected at most %zu bytes", path, max);
	else {
		close(fd);
		if (n != NULL)
			*n = b.len;
		strbuf_reserve(&b, 0)[0] = '\0';
		return strbuf_take(&b);
	}
	if (fd >= 0)
		close(fd);
	strbuf_fini(&b);
	return NULL;
}

uint64_t
file_digest(const char *bytes, size_t n)
{
	uint64_t h = UINT64_C(14695981039346656037);

	while (n-- > 0)
		h = (h ^ (unsigned char)*bytes++) * UINT64_C(1099511628211);
	return h;
}
