/* replay - runs a fuzz target without libFuzzer: with the files of its corpus, and with a
 * fixed number of small changes to each, which are the same in every run.  The corpus of the
 * program f_NAME is test/fuzz/corpus/NAME. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base.h"

#define CHANGES 300 /* of each file */
#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t seed = 2463534242;

static uint32_t
pick(size_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return below == 0 ? 0 : (uint32_t)(seed % below);
}

/* Make one to four changes: another byte, a cut, a part repeated, a part removed. */
static size_t
change(uint8_t *data, size_t n, size_t room)
{
	static const char marks[] = "{}[]\",:\\\r\n\t -0e.\xff";
	uint32_t times = 1 + pick(4);

	while (times-- > 0 && n > 0) {
		size_t at = pick(n), len = pick(MIN(n - at, 32) + 1);

		switch (pick(5)) {
		case 0:
			data[at] ^= (uint8_t)(1u << pick(8));
			break;
		case 1:
			data[at] = (uint8_t)marks[pick(sizeof marks)];
			break;
		case 2:
			n = at;
			break;
		case 3:
			if (n + len <= room) {
				memmove(data + at + len, data + at, n - at);
				n += len;
			}
			break;
		default:
			memmove(data + at, data + at + len, n - at - len);
			n -= len;
			break;
		}
	}
	return n;
}

/* In an allocation of exactly n bytes, so that a sanitiser notices reads beyond it. */
static void
try_input(const uint8_t *data, size_t n)
{
	uint8_t *copy = xmalloc(n + (n == 0));

	memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static size_t
read_file(const char *path, uint8_t *data)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	return n;
}

static void
replay(const char *path)
{
	uint8_t *data = xmalloc(INPUT_MAX), *changed = xmalloc(2 * INPUT_MAX);
	size_t n = read_file(path, data), i;

	try_input(data, n);
	for (i = 0; i < CHANGES; i++) {
		memcpy(changed, data, n);
		try_input(changed, change(changed, n, 2 * INPUT_MAX));
	}
	free(data);
	free(changed);
}

static unsigned
replay_all(DIR *dir, const char *corpus)
{
	const struct dirent *d;
	unsigned files = 0;

	while ((d = readdir(dir)) != NULL) {
		char *path = xasprintf("%s/%s", corpus, d->d_name);

		if (d->d_name[0] != '.') {
			replay(path);
			files++;
		}
		free(path);
	}
	return files;
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	char *corpus;
	unsigned files;
	DIR *dir;

	CHECK(argc == 1 && name != NULL && strncmp(name, "/f_", 3) == 0);
	corpus = xasprintf("test/fuzz/corpus/%s", name + 3);
	dir = opendir(corpus);
	if (dir == NULL) {
		perror(corpus);
		return 1;
	}
	try_input((const uint8_t *)"", 0);
	files = replay_all(dir, corpus);
	closedir(dir);
	printf("%u files of %s\n", files, corpus);
	free(corpus);
	return files == 0;
}
