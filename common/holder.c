#include "common/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IP_HEX 33   /* 16 bytes in hex, as in /proc/net/tcp6, and a NUL */
#define LISTEN 0x0a /* the state TCP_LISTEN in that file */

const char *
holder_name(long pid, char buf[HOLDER_TEXT])
{
	char path[64], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/comm", pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(comm, sizeof comm, f) != NULL)
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	if (comm[0] != '\0')
		snprintf(buf, HOLDER_TEXT, "process %ld (%s)", pid, comm);
	else
		snprintf(buf, HOLDER_TEXT, "process %ld", pid);
	return buf;
}

/* The IP address of a as the kernel prints it: 32-bit words in host byte order. */
static void
kernel_hex(const struct addr *a, char hex[IP_HEX])
{
	uint32_t words[4];
	size_t i, n = 1;

	if (a->ss.ss_family == AF_INET6) {
		n = 4;
		memcpy(words, (const char *)&a->ss + offsetof(struct sockaddr_in6, sin6_addr), 16);
	} else {
		memcpy(words, (const char *)&a->ss + offsetof(struct sockaddr_in, sin_addr), 4);
	}
	for (i = 0; i < n; i++)
		snprintf(hex + i * 8, 9, "%08X", words[i]);
}

static bool
is_any(const char *hex)
{
	return hex[strspn(hex, "0")] == '\0';
}

/* The inode of the socket that listens at a, from a file like /proc/net/tcp; 0: none. */
static unsigned long
find_inode(const char *file, const struct addr *a)
{
	char text[512], hex[IP_HEX], ours[IP_HEX];
	unsigned port, state;
	unsigned long inode, found = 0;
	FILE *f = fopen(file, "re");

	if (f == NULL)
		return 0;
	kernel_hex(a, ours);
	while (found == 0 && fgets(text, sizeof text, f) != NULL)
		if (sscanf(text, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu",
			   hex, &port, &state, &inode) == 4 &&
		    state == LISTEN && port == addr_port(a) &&
		    (strcmp(hex, ours) == 0 || is_any(hex) || is_any(ours)))
			found = inode;
	fclose(f);
	return found;
}

static bool
has_socket(const char *pid, const char *socket_name)
{
	char path[512], target[64];
	const struct dirent *d;
	bool has = false;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!has && (d = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, target, sizeof target - 1);

		target[MAX(n, 0)] = '\0';
		has = strcmp(target, socket_name) == 0;
	}
	closedir(dir);
	return has;
}

/* A process that has the socket open, or 0. */
static long
find_process(unsigned long inode)
{
	char socket_name[64];
	const struct dirent *d;
	long pid = 0;
	DIR *dir = opendir("/proc");

	if (dir == NULL)
		return 0;
	snprintf(socket_name, sizeof socket_name, "socket:[%lu]", inode);
	while (pid == 0 && (d = readdir(dir)) != NULL)
		if (isdigit((unsigned char)d->d_name[0]) && has_socket(d->d_name, socket_name))
			pid = strtol(d->d_name, NULL, 10);
	closedir(dir);
	return pid;
}

const char *
holder_of(const struct addr *a, char buf[HOLDER_TEXT])
{
	unsigned long inode = find_inode("/proc/net/tcp", a);
	long pid;

	if (inode == 0)
		inode = find_inode("/proc/net/tcp6", a);
	pid = inode == 0 ? 0 : find_process(inode);
	if (pid != 0)
		return holder_name(pid, buf);
	snprintf(buf, HOLDER_TEXT, "another process");
	return buf;
}
