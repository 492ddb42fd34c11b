/*
 * Limits of what the module of a node holds for pages and other nodes, each with its reason. Those
 * of a board itself are in limits.h.
 */
#ifndef WHITEBOARD_NODE_LIMITS_H
#define WHITEBOARD_NODE_LIMITS_H

/* Boards of a cluster: a page lists them all. */
#define BOARD_BOARDS_MAX 1000
/* Boards that a node has open at once: beyond, those without pages are closed first. What a lost
 * node left is written all the same; there is no more of it than BOARD_TOLD_BYTES_MAX. */
#define BOARD_OPEN_MAX 256
/* Pages of one board at one node: each hears what every other says. */
#define BOARD_PAGES_MAX 128
/* Live messages of one page: thirty cursors, drafts and laser points a second, and answers to the
 * pings of 64 people. Beyond, they are lost. */
#define BOARD_LIVE_PER_S_MAX 200
/* One live message: 33 ms of the fastest pen, many times over; web/board/limits.js has it too. */
#define LIVE_BYTES_MAX (8 * 1024)
/* Operations of one writer that wait for the disk, and calls of its that were not taken yet;
 * beyond, its page is told to come again. What a lost node left waits for its turn. */
#define BOARD_QUEUE_BYTES_MAX (8 * 1024 * 1024)
/* What is appended at other nodes and not yet known to be held twice. The oldest goes. */
#define BOARD_TOLD_BYTES_MAX (16 * 1024 * 1024)
/* A log is appended to up to here, and twice as far after every eight of a writer at a node, up to
 * BOARD_SEGMENT_BYTES_MAX: its last chunk is fetched anew by those who keep copies of it. */
#define BOARD_SEGMENT_BYTES     (32 * 1024)
#define BOARD_SEGMENT_BYTES_MAX (1024 * 1024)
/* An image that is pasted; with its name it is one argument of a call. */
#define BOARD_IMAGE_BYTES_MAX (15 * 1024 * 1024)
/* Logs that come with one answer, about: the next ones are asked for by the next call. */
#define BOARD_ANSWER_BYTES (4 * 1024 * 1024)

#endif
