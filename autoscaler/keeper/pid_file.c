#include "autoscaler/keeper/pid_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/proctab.h"

static pid_t
parse(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	end += strspn(end, " \t\r\n");
	return end != text && *end == '\0' && pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

pid_t
pid_file_read(const char *path, const char *directory)
{
	char *full = path[0] == '/' || directory == NULL ? xstrdup(path)
							 : xasprintf("%s/%s", directory, path);
	int fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* it may be a FIFO */
	char text[32] = "";
	struct stat st;
	ssize_t n = -1;

	free(full);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, text, sizeof text - 1);
	close(fd);
	return n <= 0 ? 0 : parse(text);
}

bool
pid_file_is_ours(pid_t pid, const char *id, uint64_t instance_ticks)
{
	char *marked = proctab_env(pid, COMMAND_INSTANCE);
	bool is_ours = marked == NULL ? proctab_start_ticks(pid) >= instance_ticks
				      : strcmp(marked, id) == 0;

	free(marked);
	return is_ours && proctab_parent(pid) == getpid();
}
