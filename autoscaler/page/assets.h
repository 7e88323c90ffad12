/* assets - the files of the status page, which are a part of the program (assets_files.S).  They
 * need nothing from elsewhere, and their Content-Security-Policy lets a browser load nothing else,
 * run no script that is inline, and make no HTML of text: what users have written (names, hosts,
 * what programs print) can only be shown as text. Thread: any. */
#ifndef AUTOSCALER_PAGE_ASSETS_H
#define AUTOSCALER_PAGE_ASSETS_H

struct admin_request;

/* The paths, for admin_add_page(); the first one is the page; the last is NULL. */
extern const char *const assets_paths[];
/* Answer with the file of req->path, or 304 if the client has it. */
void assets_answer(struct admin_request *);

#endif
