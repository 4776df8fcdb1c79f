"""Our estimators, short references and peers. The registry imports every module of this folder."""
