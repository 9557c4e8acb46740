"""Names of classes and images that are HTML, for the tests of reports."""

NAMES = ("<script>alert(1)</script>", '" onload="alert(2)', "boat & 'bow' </td>")
STEMS = ("<img src=x onerror=alert(3)>", "a&amp;b", "p'\"2", "Ünï \u202e", "five", "six")
LABELLED = 4
