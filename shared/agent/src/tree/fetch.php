<?php
// Reads {"url"} on stdin and writes what stands there to stdout. On stderr only: "status N", "unreachable" or "cut".
$in = json_decode(stream_get_contents(STDIN), true);
$say = function (string $why): void { fwrite(STDERR, $why); exit(3); };
$context = stream_context_create(['http' => [
    'timeout' => 30, 'follow_location' => 1, 'max_redirects' => 5, 'ignore_errors' => true,
    'user_agent' => 'triphammer', 'protocol_version' => 1.1, 'header' => 'Connection: close',
]]);
$from = @fopen($in['url'], 'rb', false, $context);
if ($from === false) { $say('unreachable'); }
$status = 0; $length = null;
foreach (stream_get_meta_data($from)['wrapper_data'] ?? [] as $line) {
    // After a redirect there is one status line for each answer; the last one counts.
    if (preg_match('~^HTTP/\S+ (\d{3})~', $line, $found)) { $status = (int) $found[1]; $length = null; }
    if (preg_match('~^content-length:\s*(\d+)~i', $line, $found)) { $length = (int) $found[1]; }
}
if ($status !== 200) { $say("status $status"); }
$copied = stream_copy_to_stream($from, STDOUT);
if ($copied === false || ($length !== null && $copied !== $length)) { $say('cut'); }
