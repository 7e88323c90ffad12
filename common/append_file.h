/* append_file - a file of lines that one or several processes append to: it is renamed when it has
 * grown, and opened anew where another file has taken its name.
 *
 * A file that has grown to max_bytes is renamed to FILE.1, in place of the one before, and begun
 * anew.  A symbolic link is not: its file grows on.  Of several processes that write to the file
 * one renames it, and the others follow.
 * Blocks on the disk.  Thread: the owner's. */
#ifndef COMMON_APPEND_FILE_H
#define COMMON_APPEND_FILE_H

#include "common/err.h"

struct append_file {
	const char *what; /* for the log of the program: "access_log" */
	const char *path; /* borrowed */
	int fd;		  /* -1: not open */
	bool is_regular;  /* only such a file may be renamed */
	uint64_t bytes, max_bytes;
	int64_t rotate_from_ns;	  /* no rotation before that time: the last one failed … */
	bool is_rotation_failing; /* … and the log of the program has it */
	int64_t locked_from_ns; /* since then another process locks it against the rotation; 0: none
				 */
	int64_t look_from_ns;	/* no look at the name of the file before that time */
	bool is_reopen_failing; /* and the log of the program has it */
	/* Another file is about to take the place of the one that is open; NULL: the owner does
	 * not care. */
	void (*leave)(void *arg);
	void *arg;
};

/* max_bytes: 0: no bound.  Opens nothing yet. */
void append_file_init(struct append_file *, const char *what, const char *path, uint64_t max_bytes);
/* Open it by its name, in place of what was open; mode 0640 if it is made.  A pipe without a reader
 * is no mistake: the file stays closed.  -1 with err: what was open stays open. */
NODISCARD int append_file_open(struct append_file *, struct err *);
void append_file_close(struct append_file *);

/* Between two lines: rotate the file if it is full, or open it again if its name stands for another
 * one.  A failure is logged once, and the file that is open stays in use.  True: another file is
 * open than before. */
bool append_file_turn(struct append_file *);
/* So many bytes were written. */
void append_file_wrote(struct append_file *, uint64_t n);
/* Has the last line in the file no end?  A crash may have torn it. */
bool append_file_is_torn(const struct append_file *);
/* Has another process changed the length of the file?  It is taken over. */
bool append_file_has_changed(struct append_file *);

#endif
