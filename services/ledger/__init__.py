"""Counts bounces, and keeps the answer that senders ask for: may this address still be mailed?"""
