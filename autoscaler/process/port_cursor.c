#include "autoscaler/process/port_cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

#define FILE_NAME "ports"
#define DIGITS 10    /* of the number in the file, so that it is replaced by one write */
#define KEPT_PART 64 /* the file is written once in so large a part of the range */

/* False: there is no file, or no number in it. */
static bool
read_place(const char *path, uint32_t *place)
{
	struct err e;
	size_t n;
	char *text = file_read(path, DIGITS + 1, &n, &e);
	bool is_read = text != NULL && n > 0 && text_number(text, n - 1, UINT32_MAX, place);

	if (text == NULL && e.code != ENOENT)
		log_warn(NULL, "cannot read which port was given last", "file=%s err=%s", path,
			 e.text);
	free(text);
	return is_read;
}

static void
keep(struct port_cursor *c, uint32_t place)
{
	char text[DIGITS + 2];
	int n = snprintf(text, sizeof text, "%0*u\n", DIGITS, place);
	int fd = open(c->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		log_warn_limited(NULL, "cannot note which port was given last", "file=%s err=%s",
				 c->path, strerror(errno));
	if (fd >= 0)
		close(fd);
	c->kept = place;
	c->is_kept = true;
}

void
port_cursor_init(struct port_cursor *c, const char *state_dir)
{
	*c = (struct port_cursor){.path = xasprintf("%s/" FILE_NAME, state_dir)};
	if (!read_place(c->path, &c->at))
		c->at = random_u32();
}

void
port_cursor_fini(struct port_cursor *c)
{
	if (c->is_kept && c->kept != c->at)
		keep(c, c->at);
	free(c->path);
	*c = (struct port_cursor){.path = NULL};
}

void
port_cursor_advance(struct port_cursor *c, uint32_t steps, uint32_t ports_n)
{
	uint32_t ahead = c->kept - c->at; /* modulo 2^32 */

	c->at += steps;
	if (!c->is_kept || steps > ahead)
		keep(c, c->at + ports_n / KEPT_PART);
}
