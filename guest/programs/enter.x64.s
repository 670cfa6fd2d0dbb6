# MODE FOLDER PROGRAM PWD=FOLDER NAME...: chroot to descriptor 6, chdir, give up CAP_SYS_CHROOT and CAP_SETPCAP, put
# the fourth in place of the variable PWD, execve. MODE t: setsid and TIOCSCTTY first.
.intel_syntax noprefix
.globl _start
_start:
 mov r12, [rsp]
 lea r13, [rsp+8]
 lea r14, [r13+r12*8+8]
 mov rdi, [r13+8]
 cmp byte ptr [rdi], 't'
 jne root
 mov eax, 112
 syscall
 test rax, rax
 js fail
 mov eax, 16
 xor edi, edi
 mov esi, 0x540E
 xor edx, edx
 syscall
 test rax, rax
 js fail
root:
 mov eax, 81
 mov edi, 6
 syscall
 test rax, rax
 js fail
 mov eax, 161
 lea rdi, [rip+dot]
 syscall
 test rax, rax
 js fail
 mov eax, 3
 mov edi, 6
 syscall
 mov eax, 80
 mov rdi, [r13+16]
 syscall
 test rax, rax
 js fail
 mov eax, 157
 mov edi, 24
 mov esi, 18
 syscall
 test rax, rax
 js fail
 mov eax, 157
 mov edi, 24
 mov esi, 8
 syscall
 test rax, rax
 js fail
 mov eax, 126
 lea rdi, [rip+head]
 lea rsi, [rip+none]
 syscall
 test rax, rax
 js fail
 mov rbx, r14
next:
 mov rax, [rbx]
 test rax, rax
 jz become
 cmp dword ptr [rax], 0x3d445750
 jne other
 mov rcx, [r13+32]
 mov [rbx], rcx
other:
 add rbx, 8
 jmp next
become:
 mov eax, 59
 mov rdi, [r13+24]
 lea rsi, [r13+40]
 mov rdx, r14
 syscall
fail:
 mov eax, 231
 mov edi, 126
 syscall
.balign 8
head: .long 0x20080522, 0
none: .quad 0, 0, 0
dot: .asciz "."
