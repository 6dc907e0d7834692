"""Packaging: what the project is called, what it needs, what it installs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "keras_practical" / "__init__.py").read_text(), re.M
)[1]

setup(
    name="keras-practical",
    version=VERSION,
    description="Transfer learning, one-cycle training and small-data habits for plain Keras 3",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_practical team",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="keras tensorflow transfer-learning one-cycle fine-tuning image-classification",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["keras_practical", "keras_practical.*"]),
    package_data={"keras_practical": ["py.typed", "inspection/review_page/*"]},
    python_requires=">=3.11",
    install_requires=[
        "cleanlab>=2.9",
        "filelock>=3.12",
        "jinja2>=3.1",
        "joblib>=1.3",
        "keras>=3.10",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=11.3",
        "psutil>=5.9",
        "pycocotools>=2.0.8",
        "pyyaml>=6.0",
        "rich>=13.7",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "opencv-python-headless>=4.10",
        "simplejpeg>=1.8",
        "tensorflow>=2.18",
        "tensorflow-datasets>=4.9.7",
        "threadpoolctl>=3.1",
        "typer>=0.12",
    ],
    extras_require={
        # Everything that the tests and the notebooks need.
        "dev": [
            "ImageHash>=4.3",
            "SimpleITK>=2.4",
            "distributed>=2024.8",
            "ipykernel>=6.29",
            "jax>=0.4.35",
            "jupytext>=1.16",
            "mypy>=1.13",
            "nbclient>=0.10",
            "nibabel>=5.2",
            "pandas>=2.2",
            "pre-commit>=4",
            "pydicom>=3",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "python-gdcm>=3.0.24",
            "ruff>=0.9",
            "selenium>=4.20",
            "sentencepiece>=0.2.1",
        ],
        # DICOM, compressed too, NIfTI, NRRD and MetaImage.
        "medical": ["SimpleITK>=2.4", "nibabel>=5.2", "pydicom>=3", "python-gdcm>=3.0.24"],
        # Subword vocabularies, and right-to-left text in plots.
        "text": ["matplotlib>=3.11", "sentencepiece>=0.2.1"],
        # Photos as iPhones store them.
        "heic": ["pillow-heif>=0.21"],
    },
    entry_points={"console_scripts": ["keras-practical = keras_practical.cli.commands:main"]},
)
