<?php
// Moves WordPress's address. SHORTINIT: no plugin or theme runs, so a broken one does not keep a domain from being attached.
define('SHORTINIT', true);
require $in['root'] . '/wp-load.php';
if (!$wpdb->ready) { $answer = ['error' => 'database']; exit(1); }
$changed = 0;
foreach (['home', 'siteurl'] as $name) {
    $done = $wpdb->update($wpdb->options, ['option_value' => $in['url']], ['option_name' => $name]);
    if ($done === false) { $answer = ['error' => 'update']; exit(1); }
    $changed += $done;
}
// With a persistent object cache the old address would live on there.
wp_cache_delete('alloptions', 'options');
wp_cache_delete('home', 'options');
wp_cache_delete('siteurl', 'options');
$answer = ['changed' => $changed > 0];
