#include "autoscaler/keeper/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/file.h"
#include "common/strbuf.h"

#define PROC_FILE_MAX ((size_t)16 << 20)

static int
write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0640);
	ssize_t n = (ssize_t)strlen(text);
	int rc;

	if (fd < 0)
		return -1;
	rc = write(fd, text, (size_t)n) == n ? 0 : -1;
	close(fd);
	return rc;
}

/* Call fn for each group right below path: an instance may have made groups of its own. */
static void
each_below(const char *path, void (*fn)(const char *below))
{
	DIR *d = opendir(path);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL) {
		char *below;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		below = xasprintf("%s/%s", path, de->d_name);
		fn(below);
		free(below);
	}
	if (d != NULL)
		closedir(d);
}

static void
remove_tree(const char *path)
{
	each_below(path, remove_tree);
	rmdir(path); /* fails if the group has processes still */
}

/* --- the group of this process --- */

/* The first line of text for which is_it() holds, terminated in place; NULL: none. */
static char *
find_line(char *text, bool (*is_it)(const char *line))
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (is_it(line))
			return line;
	return NULL;
}

static bool
is_unified(const char *line)
{
	return strncmp(line, "0::/", 4) == 0;
}

/* proc_pid_mountinfo(5): a dash by itself precedes the type of the file system. */
static bool
is_cgroup2_mount(const char *line)
{
	const char *dash = strstr(line, " - ");

	return dash != NULL && strncmp(dash + 3, "cgroup2 ", 8) == 0;
}

/* The folder of our own group: the mount point and our path below it. */
static char *
own_folder(void)
{
	char *groups = file_read("/proc/self/cgroup", PROC_FILE_MAX, NULL, NULL), *group;
	char *mounts = file_read("/proc/self/mountinfo", PROC_FILE_MAX, NULL, NULL), *mount;
	char root[256], point[256], *path = NULL;

	group = groups == NULL ? NULL : find_line(groups, is_unified);
	mount = mounts == NULL ? NULL : find_line(mounts, is_cgroup2_mount);
	if (group != NULL && mount != NULL &&
	    sscanf(mount, "%*d %*d %*s %255s %255s", root, point) == 2 && strcmp(root, "/") == 0)
		path = xasprintf("%s%s", point, group + strlen("0::"));
	free(groups);
	free(mounts);
	return path;
}

char *
cgroup_open(const char *name, const char *record)
{
	char *own = own_folder();
	char *dir = own == NULL ? NULL : xasprintf("%s/%s", own, name);

	free(own);
	if (dir == NULL)
		return NULL;
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) ||
	    write_file(record, O_CREAT | O_TRUNC, dir) < 0) {
		rmdir(dir);
		free(dir);
		return NULL;
	}
	each_below(dir, remove_tree); /* of an earlier keeper */
	return dir;
}

/* --- one group --- */

static char *
member(const char *dir, const char *id, const char *file)
{
	return xasprintf("%s/%s/%s", dir, id, file);
}

int
cgroup_add(const char *dir, const char *id)
{
	char *path = xasprintf("%s/%s", dir, id);
	int fd = -1;

	if (mkdir(path, 0755) == 0)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(path);
	return fd;
}

void
cgroup_remove(const char *dir, const char *id)
{
	char *path = xasprintf("%s/%s", dir, id);

	remove_tree(path);
	free(path);
}

void
cgroup_close(char **dirp, const char *record)
{
	char *dir = *dirp;

	*dirp = NULL;
	if (dir == NULL)
		return;
	remove_tree(dir);
	unlink(record);
	free(dir);
}

static bool
is_populated(const char *path)
{
	char *file = xasprintf("%s/cgroup.events", path);
	char *text = file_read(file, PROC_FILE_MAX, NULL, NULL);
	bool is_so = text != NULL && strstr(text, "populated 1") != NULL;

	free(file);
	free(text);
	return is_so;
}

bool
cgroup_is_populated(const char *dir, const char *id)
{
	char *path = xasprintf("%s/%s", dir, id);
	bool is_so = is_populated(path);

	free(path);
	return is_so;
}

static void
signal_all(const char *procs, int signo, pid_t except)
{
	char *text = file_read(procs, PROC_FILE_MAX, NULL, NULL), *line, *rest = text;

	while (text != NULL && (line = strsep(&rest, "\n")) != NULL) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		if (pid > 0 && (except == 0 || getpgid(pid) != except))
			kill(pid, signo);
	}
	free(text);
}

void
cgroup_terminate(const char *dir, const char *id, pid_t except)
{
	char *procs = member(dir, id, "cgroup.procs");

	signal_all(procs, SIGTERM, except);
	free(procs);
}

static void
kill_tree(const char *path)
{
	char *file = xasprintf("%s/cgroup.kill", path);
	char *procs = xasprintf("%s/cgroup.procs", path);

	if (write_file(file, 0, "1") < 0) { /* before Linux 5.14 */
		signal_all(procs, SIGKILL, 0);
		each_below(path, kill_tree);
	}
	free(file);
	free(procs);
}

void
cgroup_kill(const char *dir, const char *id)
{
	char *path = xasprintf("%s/%s", dir, id);

	kill_tree(path);
	free(path);
}

/* The path comes from a file: use it only if it is a control group of our name. */
static bool
is_group(const char *path, const char *name)
{
	const char *last = strrchr(path, '/');
	struct statfs fs;

	return path[0] == '/' && strcmp(last + 1, name) == 0 && statfs(path, &fs) == 0 &&
	       fs.f_type == CGROUP2_SUPER_MAGIC;
}

bool
cgroup_kill_recorded(const char *record, const char *name)
{
	char *dir = file_read(record, PROC_FILE_MAX, NULL, NULL);
	bool is_there = dir != NULL && is_group(dir, name);
	bool was_populated = is_there && is_populated(dir);

	if (was_populated)
		kill_tree(dir);
	if (is_there)
		remove_tree(dir); /* a group whose processes still die stays, for the next keeper */
	free(dir);
	return was_populated;
}
