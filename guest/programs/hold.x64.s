# Writes `ready`, reads standard input to its end, and ends: the first program of a machine made of an image.
.intel_syntax noprefix
.globl _start
_start:
 mov eax, 1
 mov edi, 1
 lea rsi, [rip+msg]
 mov edx, 6
 syscall
again:
 xor eax, eax
 xor edi, edi
 lea rsi, [rsp-128]
 mov edx, 64
 syscall
 test eax, eax
 jg again
 mov eax, 60
 xor edi, edi
 syscall
msg: .ascii "ready\n"
