#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/strbuf.h"

#define STEP ((size_t)16 << 10)

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
	struct strbuf b;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

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
