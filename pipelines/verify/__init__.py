"""``dseg verify``: whether what dseg wrote is still as it was written; and mending it."""
