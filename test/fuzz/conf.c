/* libFuzzer: any bytes as a conf file.  It is taken, or there is at least one mistake
 * with the file's name in front. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base.h"
#include "common/settings.h"

#define FILE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_errors(const struct settings_errors *errors, const char *file)
{
	size_t i;

	CHECK(errors->n > 0);
	for (i = 0; i < errors->n; i++)
		CHECK(strncmp(errors->lines[i], file, strlen(file)) == 0);
}

static void
check_settings(const struct settings *s)
{
	size_t i, j;

	for (i = 0; i < s->services_n; i++) {
		const struct service_conf *service = &s->services[i];
		uint32_t percent = 0;

		CHECK(service->revisions_n > 0 && service->traffic_n > 0);
		for (j = 0; j < service->traffic_n; j++)
			percent += service->traffic[j].percent;
		CHECK(percent == 100);
		for (j = 0; j < service->revisions_n; j++)
			CHECK(service->revisions[j].full_name != NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings_errors errors = {.n = 0};
	struct settings *s;
	char path[64];
	int fd;

	if (size > FILE_MAX)
		return 0;
	fd = memfd_create("conf", MFD_CLOEXEC);
	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	s = settings_load(path, &errors);
	if (s == NULL)
		check_errors(&errors, path);
	else
		check_settings(s);
	settings_free(&s);
	settings_errors_free(&errors);
	close(fd);
	return 0;
}
