<?php
// Before every script: its input, and one line with its answer at the end, whatever WordPress does in between.
$in = json_decode(stream_get_contents(STDIN), true);
$answer = null;
ob_start();
register_shutdown_function(function () use (&$answer): void {
    global $wpdb;
    while (ob_get_level() > 0) { ob_end_clean(); }
    if ($answer === null) {
        $last = error_get_last();
        $away = isset($wpdb) && $wpdb instanceof wpdb && !$wpdb->ready;
        // The message is left out: it may quote what was being worked on.
        $answer = ['error' => $away ? 'database' : 'stopped', 'at' => $last ? basename($last['file']) . ':' . $last['line'] : ''];
    }
    fwrite(STDOUT, "\ntriphammer-answer " . json_encode($answer) . "\n");
});
if (isset($in['url'])) {
    $host = parse_url($in['url'], PHP_URL_HOST);
    $_SERVER = ['HTTP_HOST' => $host, 'SERVER_NAME' => $host, 'SERVER_PORT' => '80', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'REMOTE_ADDR' => '127.0.0.1',
        'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => '/', 'SCRIPT_NAME' => '/index.php', 'PHP_SELF' => '/index.php'] + $_SERVER;
}
