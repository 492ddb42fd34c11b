/*
 * Histories that aim at one rule each (test_view_faults.c). False, with 256 bytes of why, if
 * anything was wrong.
 */
#ifndef TEST_VIEW_FAULTS_H
#define TEST_VIEW_FAULTS_H

#include "test_view_world.h"

bool vw_fault_mint(uint64_t seed, char *why_out);
bool vw_fault_member(uint64_t seed, char *why_out);
bool vw_fault_early(uint64_t seed, char *why_out);
bool vw_fault_sitout(uint64_t seed, char *why_out);
bool vw_fault_nesting(uint64_t seed, char *why_out);
bool vw_fault_only_voter(uint64_t seed, char *why_out);
bool vw_fault_old_disk(uint64_t seed, char *why_out);
bool vw_fault_only_disk(uint64_t seed, char *why_out);
bool vw_fault_forget(uint64_t seed, char *why_out);
bool vw_fault_joint(uint64_t seed, char *why_out);
bool vw_fault_silent(uint64_t seed, char *why_out);

#endif
