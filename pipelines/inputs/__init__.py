"""What a user gives: lists, images and label maps, matched and checked."""
