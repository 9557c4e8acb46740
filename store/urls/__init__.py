"""Stores, images, labels and masks by URL: object stores, web servers, zip files."""
