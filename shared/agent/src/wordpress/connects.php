<?php
// Does the wp-config this agent wrote open its database? Read as text: what else stands in it is not run.
$text = (string) @file_get_contents($in['root'] . '/wp-config.php');
$value = function (string $name) use ($text): ?string {
    return preg_match("~^define\\( '$name', '([A-Za-z0-9_-]+)' \\);~m", $text, $found) ? $found[1] : null;
};
mysqli_report(MYSQLI_REPORT_OFF);
$link = mysqli_init();
$connects = $value('DB_PASSWORD') !== null && @mysqli_real_connect($link, 'localhost', $value('DB_USER'), $value('DB_PASSWORD'), $value('DB_NAME'));
$answer = ['connects' => $connects];
