"""Expressions of the MySQL dialect, over the columns of `store.Small`, whose value MariaDB defines exactly."""

DATES = """
    YEAR(seen) | QUARTER(seen) | MONTH(seen) | DAY(seen) | DAYOFMONTH(seen) | HOUR(seen) | MINUTE(seen) | SECOND(seen)
    MICROSECOND('2026-01-02 03:04:05.678901') | DAYOFYEAR(seen) | DAYOFWEEK(seen) | WEEKDAY(seen) | WEEK(seen)
    WEEK(seen, 3) | WEEKOFYEAR(seen) | TO_DAYS(seen) | DAYNAME(seen) | MONTHNAME(seen) | DATE(seen) | TIME(seen)
    LAST_DAY(seen) | FROM_DAYS(739000) | MAKEDATE(2026, 60) | MAKEDATE(2026, n) | YEAR('2026-1-5') | YEAR(NULL)
    DATEDIFF(seen, '2026-01-10') | DATEDIFF('2026-01-10 23:00', DATE '2026-01-09') | UNIX_TIMESTAMP(seen)
    FROM_UNIXTIME(1767225600) | FROM_UNIXTIME(m * 1000000 + 200000000) | UNIX_TIMESTAMP('2026-01-01')
    DATE_FORMAT(seen, '%Y-%m-%d %H:%i:%s') | DATE_FORMAT(seen, '%W %M %e %b %a %j %y %c %k %l %p %T %f %%')
    DATE_FORMAT(seen, '%r %h %I %v %x %w %U') | STR_TO_DATE('03/02/2026', '%d/%m/%Y') | STR_TO_DATE('x', '%d')
    DATE_ADD(seen, INTERVAL 1 DAY) | DATE_ADD(seen, INTERVAL n MONTH) | DATE_SUB(seen, INTERVAL m HOUR)
    DATE_ADD('2026-01-31', INTERVAL 1 MONTH) | seen + INTERVAL 2 WEEK | seen - INTERVAL n YEAR
    seen + INTERVAL m MINUTE | seen + INTERVAL 90 SECOND | seen + INTERVAL 1 QUARTER | ADDDATE(seen, 31)
    SUBDATE(seen, INTERVAL 1 DAY) | SUBDATE(seen, n) | TIMESTAMPADD(WEEK, n, seen)
    TIMESTAMPDIFF(HOUR, '2026-01-05', seen) | TIMESTAMPDIFF(MONTH, '2025-01-31', seen)
    TIMESTAMPDIFF(MINUTE, seen, '2026-01-05') | TIMESTAMPDIFF(DAY, seen, '2026-01-05 12:00:00')
    EXTRACT(YEAR FROM seen) | EXTRACT(MONTH FROM '2026-05-01') | EXTRACT(HOUR FROM seen) | EXTRACT(QUARTER FROM seen)
    seen > '2026-01-10' | seen BETWEEN '2026-01-10' AND '2026-01-20 12:00:00' | seen = TIMESTAMP '2026-01-01 05:00:00'
    seen >= DATE '2026-01-15' | DATE(seen) = '2026-01-15' | YEAR(seen) = 2026 AND MONTH(seen) = 1
    CAST('2026-01-31' AS DATE) | CAST('2026-01-31 01:02:03' AS DATETIME) | CAST(seen AS DATE) | CAST(seen AS TIME)
    TIMESTAMP(DATE(seen)) | NOW() > '2020-01-01' | CURDATE() <= NOW() | CURRENT_DATE = CURDATE()
    DATEDIFF(NOW(), CURRENT_TIMESTAMP) | UTC_TIMESTAMP() > '2020-01-01' | UNIX_TIMESTAMP() > 1500000000
    DATE_ADD('9999-12-31', INTERVAL 1 DAY) | IFNULL(DATE(seen), '2026-01-01') = DATE(seen) | seen IS NULL
"""

TEXTS = """
    CONCAT_WS('-', name, NULL, n, 'b') | CONCAT_WS(NULL, name, 'a') | LPAD(name, 9, '*') | RPAD(name, 4, 'xy')
    LPAD(name, n, 'ab') | RPAD(name, 10, '') | REPEAT('ab', n) | REPEAT(name, 2) | CONCAT('<', SPACE(3), '>')
    INSERT(name, 2, 3, 'XYZ') | INSERT(name, n, m, '-') | INSERT('abc', 4, 1, 'd') | INSERT('abc', 3, -1, 'd')
    SUBSTRING_INDEX('a.b.c', '.', 2) | SUBSTRING_INDEX('a.b.c', '.', -2) | SUBSTRING_INDEX(name, ' ', n)
    LOCATE('b', 'abcb', 3) | LOCATE('R', name, 2) | LOCATE('b', 'abcb', n) | LOCATE('', 'abc', 4) | POSITION('r' IN name)
    FIND_IN_SET('b', 'a,b,c') | FIND_IN_SET(name, 'x,STAR 1,star 2') | FIND_IN_SET(NULL, 'a')
    ELT(2, 'a', 'b') | ELT(n, 'one', name, 'three') | FIELD('b', 'a', 'B') | FIELD(name, 'STAR 1', 'star 2', 'x')
    FIELD(n, 1, 2, 3) | STRCMP('a', 'b') | STRCMP(name, 'STAR 5') | STRCMP('b ', 'B') | STRCMP(NULL, 'a')
    ASCII(name) | ASCII('') | ORD('a') | HEX(255) | HEX('abc') | HEX(name) | HEX(m & 255) | BIN(12) | MD5(name) | MD5('a')
    SHA1('abc') | SHA(name) | TRIM(BOTH 'r' FROM name) | TRIM(LEADING 's' FROM name) | TRIM(TRAILING '1' FROM name)
    TRIM('x' FROM 'xxabxcxx') | TRIM(LEADING FROM '  a ') | TRIM(TRAILING FROM ' a  ') | TRIM(BOTH FROM ' a ')
    TRIM(LEADING 'ab' FROM 'abababc') | TRIM(BOTH '' FROM 'abc') | TRIM(name)
    SUBSTRING(name FROM 2) | SUBSTRING(name FROM 2 FOR 3) | SUBSTR('abcdef' FROM -3 FOR 2) | MID(name, 2, 3)
    name REGEXP '^s' | name REGEXP 'R [0-9]$' | name NOT REGEXP '1' | name RLIKE '^(star|x) [[:digit:]]$'
    'a.b' REGEXP 'a\\.b' | NOT name REGEXP 'star' | name REGEXP 'x{1,3}' | 'it is' REGEXP '[[:<:]]is[[:>:]]'
    name COLLATE latin1_bin = 'star 1' | BINARY name = 'Star 1' | name COLLATE latin1_swedish_ci = 'STAR 1'
    name COLLATE latin1_bin IN ('star 2', 'STAR 4')
    CONVERT(n, CHAR) | CONVERT(name USING latin1) | CONVERT('12', SIGNED) | CONVERT(mag, SIGNED) | _latin1'abc' | N'abc'
    GREATEST(name, 'Star 5') | LEAST(name, 'STAR 3', 'star 2') | GREATEST('a', 'B', NULL) | GREATEST('b', 'B ', 'a')
    SOUNDEX(name) | SOUNDEX('Robert') | SOUNDEX('Pfister') | SOUNDEX('Tymczak') | SOUNDEX('Honeyman') | SOUNDEX('')
    SOUNDEX('Ashcraft of Quadratically-long') | SOUNDEX('12') | SOUNDEX(NULL) | SOUNDEX('sch ssc') | SOUNDEX(CONCAT(name, 'bbpd'))
    name SOUNDS LIKE 'str' | 'Rupert' SOUNDS LIKE 'Robert' AND n > 1 | NOT 'hello' SOUNDS LIKE 'halo' | SOUNDEX('a bp cg dt ll mn rer')
    'a' 'b' | "x" "y" "z" | CONCAT('a' 'b', 'c') | LENGTH(CONCAT_WS(',', 'a', 'b'))
"""

NUMBERS = """
    0x1F + 0 | n & 0xF | 0b101 + 0 | b'11' + 0 | CAST(3.7e0 AS UNSIGNED) | CAST(m & 7 AS UNSIGNED)
    CAST(size AS DECIMAL(10, 2)) | CAST(mag AS DECIMAL(6, 1)) | CAST(size AS DECIMAL) | CONVERT(size, DECIMAL(8, 3))
    (n = 1) IS UNKNOWN | (n > 2) IS NOT UNKNOWN | n IS NOT TRUE | n = ANY (SELECT visit FROM sky.Visit)
    n <> ALL (SELECT visit FROM sky.Visit) | n != ALL (SELECT 3) | n = SOME (SELECT 1)
    (n, m) = (1, 2) | (n, flag) = (1, 1) | (n, flag) <> (1, 1) | (n, flag) != (3, NULL) | (n, flag) <=> (NULL, 1)
    (n, flag) IN ((1, 1), (3, 0)) | (n, flag) NOT IN ((1, 1), (3, 0)) | (n, name) IN ((1, 'STAR 1'), (2, 'star 2 '))
    (n, flag, tiny & 1) IN ((1, 1, 1)) | (n, flag) IN ((1, NULL), (NULL, 0)) | NOT (n + 1, flag) = (2, 0) AND m > 0
    (n) = (1) | (n, (m)) IN ((flag, m), (n, 3))
    n BETWEEN 1 AND 3 IS TRUE | -n DIV 2 | n ^ 3 & 7 | !n + 1 | - - n | 5 % n | n <=> NULL
"""

GROUPS = """
    BIT_OR(m & 7) | BIT_AND(tiny) | BIT_XOR(m & 1023) | COUNT(DISTINCT n, flag) | COUNT(DISTINCT name, n)
    GROUP_CONCAT(DISTINCT n & 3 ORDER BY n & 3) | GROUP_CONCAT(n ORDER BY objectId) | GROUP_CONCAT(DISTINCT flag)
    GROUP_CONCAT(n ORDER BY objectId DESC SEPARATOR '; ') | GROUP_CONCAT(n, ':', m ORDER BY objectId SEPARATOR '')
    LENGTH(GROUP_CONCAT(name)) | MIN(seen) | MAX(DATE(seen)) | COUNT(DISTINCT DATE(seen)) | MAX(LOWER(name))
    LOWER(MIN(name)) | LOWER(MAX(name))
"""

SHAPES = [
    "SELECT LOWER(x) FROM (SELECT name AS x FROM sky.Small UNION SELECT 'STAR 3' UNION SELECT 'new ') t ORDER BY 1",
    "SELECT COUNT(*) FROM (SELECT name FROM sky.Small UNION ALL SELECT UPPER(name) FROM sky.Small) t",
    "SELECT COUNT(*) FROM (SELECT name, n FROM sky.Small UNION SELECT UPPER(name), n FROM sky.Small) t",
    "SELECT COUNT(*) FROM (SELECT name FROM sky.Small INTERSECT SELECT 'STAR 3') t",
    "SELECT LOWER(name) FROM (SELECT name FROM sky.Small EXCEPT SELECT 'STAR 3') t ORDER BY LOWER(name)",
    "SELECT LOWER(name) AS k FROM sky.Small UNION ALL SELECT UPPER(band) FROM sky.Visit ORDER BY k DESC LIMIT 200, 40",
    "SELECT objectId FROM sky.Small WHERE name IN (SELECT 'STAR 3' UNION SELECT 'star 3 ' UNION SELECT 'x')",
    "SELECT objectId, MAX(LOWER(name)) OVER (PARTITION BY n) FROM sky.Small",
    "SELECT s.n FROM (sky.Small s) WHERE n = 1",
    "SELECT s.objectId, v.visit FROM sky.Small s LEFT JOIN (sky.Visit v, sky.Visit w) ON s.n = v.visit AND w.visit = 1",
    "SELECT s.objectId FROM sky.Small s CROSS JOIN sky.Visit v ON s.n = v.visit",
    "SELECT n AS 'a b', m \"c\" FROM sky.Small",
    "(SELECT n FROM sky.Small WHERE n > 3) ORDER BY n DESC LIMIT 5",
    "((SELECT n FROM sky.Small)) ORDER BY 1 LIMIT 3, 4",
    "(SELECT n FROM sky.Small ORDER BY n LIMIT 7) ORDER BY n DESC LIMIT 3",
    "(SELECT 1 AS k UNION SELECT 2) UNION ALL (SELECT 3 UNION SELECT 3) ORDER BY k DESC",
    "(SELECT n FROM sky.Small UNION SELECT visit FROM sky.Visit) ORDER BY n LIMIT 4",
    "SELECT DATE(seen) AS d, COUNT(*) FROM sky.Small GROUP BY DATE(seen) ORDER BY d",
    "SELECT DATE_FORMAT(seen, '%Y-%m') AS month, COUNT(*) FROM sky.Small GROUP BY month ORDER BY month",
    "SELECT n, COUNT(*) FROM sky.Small GROUP BY n WITH ROLLUP",
    "SELECT n, flag, COUNT(*), SUM(m), MAX(m), AVG(size) FROM sky.Small GROUP BY n, flag WITH ROLLUP",
    "SELECT n & 1 AS k, flag, COUNT(*) FROM sky.Small GROUP BY k, flag WITH ROLLUP HAVING COUNT(*) > 20",
    "SELECT LOWER(name) AS k, n, COUNT(*) FROM sky.Small GROUP BY LOWER(name), n WITH ROLLUP",
    "SELECT LOWER(IFNULL(name, 'all')) AS k, COUNT(*) FROM sky.Small WHERE name > '' GROUP BY name WITH ROLLUP",
    "SELECT n, n + 1, COUNT(*) FROM sky.Small GROUP BY n WITH ROLLUP HAVING n > 2 OR n IS NULL",
    "SELECT n, COUNT(*) FROM sky.Small WHERE n > 100 GROUP BY n WITH ROLLUP",
    "SELECT * FROM (SELECT n, flag, COUNT(*) AS c FROM sky.Small GROUP BY n, flag WITH ROLLUP) t WHERE n = 3",
    "SELECT COUNT(*) FROM (SELECT name, COUNT(*) AS c FROM sky.Small GROUP BY name WITH ROLLUP) t WHERE name IS NULL",
    "SELECT objectId FROM sky.Small WHERE seen > '2026-01-20' - INTERVAL 3 DAY AND HOUR(seen) BETWEEN 3 AND 9",
]


def listed(table: str) -> list[str]:
    return [one.strip() for line in table.splitlines() for one in line.split(" | ") if one.strip()]
