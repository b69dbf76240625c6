"""What people would use instead of the library, each as short as it can be and still be fair."""
